"""How fast this project trains, beside a bare loop and its peers."""
