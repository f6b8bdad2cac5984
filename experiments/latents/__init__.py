"""Log-concave energies of images, in the latent space of an autoencoder."""
