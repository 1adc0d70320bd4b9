"""The command line: composed or parsed arguments, one-sentence errors and exit codes."""

from src.cli.app import CONF, Parser, handle_errors, hydra_command, parser_command

__all__ = ["CONF", "Parser", "handle_errors", "hydra_command", "parser_command"]
