"""The gallery: one HTML page that shows every material as the simulated cell's sensors meet it."""
