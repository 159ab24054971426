//! The verifying loopback proxy for pip, uv and poetry.
