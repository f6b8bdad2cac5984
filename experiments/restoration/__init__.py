"""Restoration of faces by convolutional networks: the SOC-ICNN paper's experiment, decided with certificates."""
