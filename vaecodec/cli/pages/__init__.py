"""Pictures side by side: collected, measured, and set on a page of HTML or a sheet."""
