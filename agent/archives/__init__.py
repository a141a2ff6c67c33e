"""Archives, read as what a stranger made: every name, size and link in one is a claim until it was checked.

The readers are our own because the standard library's trust headers: `tarfile` reads a header's extension whole into memory
and follows its own idea of links, `zipfile` reads a central directory of any size. These read a stream once, hold no more
than a block of it, and raise `ArchiveError` for anything that is not plainly files, directories and links within one directory.

    entries.py   what an entry is, and what all entries together must keep to
    streams.py   decompression, bounded while it streams
    tar.py       tar headers: ustar, pax and GNU long names
    zipped.py    the central directory of a zip file, and what it points to
    unpack.py    an archive into an empty directory
    trees.py     such directories: built, listed, compared and removed by descriptor
"""
