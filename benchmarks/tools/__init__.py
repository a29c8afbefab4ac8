"""Programs of others that the benchmark measures, or measures with: how they come onto this machine."""
