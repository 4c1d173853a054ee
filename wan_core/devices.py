"""What a device computes best with: one table."""
