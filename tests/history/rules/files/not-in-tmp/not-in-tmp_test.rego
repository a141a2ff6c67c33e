package ordain.custom.files.not_in_tmp_test

import data.ordain.custom.files.not_in_tmp

found(path) := result if {
	result := count(not_in_tmp.deny) with input as {"object": {"kind": "Component", "spec": {"files": [{"path": path}]}}}
}

test_a_file_under_tmp_is_found if found("/tmp/note.txt") == 1

test_other_files_pass if found("/tmpfiles") == 0
