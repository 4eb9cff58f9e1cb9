"""Files in and out: GeoJSON, zipped Shapefile, GeoPackage and CSV, in any coordinate system.

`reading.read_file` reads what somebody brought, and trusts nothing in it; `writing.write_file` writes what is stored;
`layers` says what each layer's columns are called and what they mean.
"""
