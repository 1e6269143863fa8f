"""What tests of many folders build: sounds and tiny models, by plain functions."""
