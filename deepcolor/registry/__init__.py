"""The model registry: the gate, promotion, versions and aliases, pulling. MLflow's registry is behind this door."""
