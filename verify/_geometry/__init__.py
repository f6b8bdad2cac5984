"""What a certificate knows beyond values: slopes, subdifferentials, Hessians."""
