"""Smoothing of trajectories by recurrent networks: the SOC-ICNN paper's experiment, decided with certificates."""
