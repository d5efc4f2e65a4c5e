"""The same installation as the tests of sending have."""

from tests.sending.conftest import (  # noqa: F401 - fixtures are found by their names
    balanced,
    brand,
    installed,
    sender,
    transactional_db,
)
