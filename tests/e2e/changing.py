"""What the tests pin although the contract changes it: the one place to edit when it does."""

FRAME_LINES = ["id", "event", "data"]
"""The lines of a frame, in their order. To become: event, data, id."""

UPLOAD_STOPPED = {(400, "malformed_body"), (408, "upload_timeout")}
"""How an upload that stops is answered: the first so far, the second to come."""

UPGRADE_REFUSED = {"malformed_body", "malformed_request"}
"""The code of a refused body behind an `Upgrade` header: the first so far, the second to come."""

ENDED_TOKEN = {"unauthorized", "token_expired"}
"""The code for a token that has ended: the first so far, the second to come."""
