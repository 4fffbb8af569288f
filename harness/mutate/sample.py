"""x"""

from harness.mutate.mutant import Mutant
from harness.mutate.tree import Tree


def sample(tree: Tree) -> list[Mutant]:
    return []
