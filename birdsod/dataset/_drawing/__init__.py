"""The drawing room: made-up species, their anatomy, scenery, and the brush. Nothing here knows of files."""
