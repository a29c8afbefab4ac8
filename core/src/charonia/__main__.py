"""The command line, as `python -m charonia`: with the interpreter that one has in mind."""

from charonia.cli import main

main()
