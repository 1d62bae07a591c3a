"""What needs both worlds: data generation and training of perception."""
