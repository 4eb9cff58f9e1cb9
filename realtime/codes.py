"""Why a socket was closed; docs/api.md and docs/operations.md explain them."""

TRY_AGAIN_LATER = 1013
BAD_FRAME = 4400
NOT_LOGGED_IN = 4401
NOT_PERMITTED = 4403
NO_SUCH_SOCKET = 4404
SILENT = 4408
TOO_SLOW = 4409
TOO_MANY = 4429
