"""The rules of the record contract as pure functions of JSON values; whoever builds or reads records calls these."""
