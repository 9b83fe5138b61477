"""`python -m nsysan`."""

from nsysan.cli import main

if __name__ == "__main__":
    main()
