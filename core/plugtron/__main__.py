"""`python -m plugtron`, which is also what torchrun starts on every rank."""

from plugtron.cli import main

if __name__ == "__main__":
    main()
