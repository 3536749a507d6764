"""DashScope's Responses API: the call, its event stream, its failures and its answers."""
