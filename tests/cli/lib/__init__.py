"""What the tests of the commands share: the host's preparation, a runner, images, the leak audit."""
import pytest

rows = pytest.mark.rows
smoke = pytest.mark.smoke
