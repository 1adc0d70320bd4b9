"""Entry points of the commands: arguments from Hydra or argparse, one-sentence errors and exit codes."""

from src.cli.app import CONF, Parser, handle_errors, hydra_command, parser_command

__all__ = ["CONF", "Parser", "handle_errors", "hydra_command", "parser_command"]
