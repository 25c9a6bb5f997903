"""Messages of one stream in their order: what is missing, repeated or late, by numbers, times or silence."""
