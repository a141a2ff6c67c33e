"""What earlier checks found out, kept on disk so that the next one needn't do it again.

Nothing here is an authority. An entry counts only while its seal holds and everything that it was made from is the
same, which its name says: content by blob id, schemas, judge, and this version of ordain. Whatever is missing, broken or forged is
worked out again. What can't be judged (errors), and what has findings where reading it, is never kept.
"""
