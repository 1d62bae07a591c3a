"""Encoders: what each sensor measured -> features of fixed length."""
