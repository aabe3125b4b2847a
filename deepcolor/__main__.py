"""`python -m deepcolor`: the same as the `deepcolor` command."""

from deepcolor.cli.app import main

if __name__ == "__main__":
    main()
