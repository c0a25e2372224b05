"""Pictures as other programs have them: what their files hold beside pixels, and what becomes of it in each format."""
