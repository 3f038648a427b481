"""Running the service: health, the doctor, the demo, backups and benchmarks."""
