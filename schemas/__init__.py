"""The contract: every message, topic and SQL statement that crosses a boundary. Imports no other room."""
