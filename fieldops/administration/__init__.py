"""Pages of the administration beside the forms: files, layouts, questions to the rules, what a change would do."""
