"""`python -m fleet`: the same as `platefleet`."""

from fleet.cli import main

if __name__ == "__main__":
    main()
