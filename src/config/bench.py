"""What a benchmark measures."""

from dataclasses import dataclass, field

from src.config.checks import require

RIVALS = ("stock_fp32", "stock_bf16", "stock_uncut")


@dataclass
class BenchConfig:
    """The same recipe by different trainers, each training in a process of its own."""

    rounds: int = 3
    """Times every trainer has its turn, each time with another seed."""
    rivals: list[str] = field(default_factory=lambda: list(RIVALS))
    """Trainers to compare ours with: the plain one in fp32, in bf16, and in fp32 on the encoder's whole vocabulary."""
    max_steps: int = -1
    """Stop each training after so many steps; -1: the whole recipe."""
    growth: bool = False
    """Measure how start-up, speed and memory grow with the number of pairs, in place of the comparison."""
    sizes: list[int] = field(default_factory=lambda: [10_000, 100_000, 1_000_000])
    """Numbers of pairs of the growth table."""
    growth_steps: int = 50
    """Steps of each training of the growth table."""
    folder: str = "experiments/bench"
    """Folder of the results."""

    def __post_init__(self) -> None:
        require(self.rounds >= 1, "bench.rounds", "at least 1", self.rounds)
        known = bool(self.rivals) and set(self.rivals) <= set(RIVALS)
        require(known, "bench.rivals", f"some of {list(RIVALS)}", self.rivals)
        require(self.max_steps == -1 or self.max_steps >= 1, "bench.max_steps", "at least 1, or -1", self.max_steps)
        require(bool(self.sizes) and min(self.sizes) >= 100, "bench.sizes", "a list of at least 100 each", self.sizes)
        require(self.growth_steps >= 1, "bench.growth_steps", "at least 1", self.growth_steps)
