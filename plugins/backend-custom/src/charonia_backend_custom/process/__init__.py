"""Models in processes of their own: the server's side, the process's side, and the line between them."""
