"""Tables of labelled images as people and data sets have them; who a row is about; what is said of what is left out."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermiq.errors import DataError
from dermiq.files.paths import SENT
from dermiq.files.splits import split_of
from dermiq.types import PatientContext
from train.cases.identity import identity, source_of
from train.cases.labelled import read_labelled
from train.cases.labels import class_of, suggested
from train.cases.sources import Row, read_source, read_splits, refuse_leakage
from train.evaluate import table_of_csv


def images(folder: Path, *names: str) -> None:
    """Small pictures, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        seed = zlib.crc32(str(folder / name).encode())
        pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)


def table(folder: Path, text: str, name: str = "t.csv", count: int = 4, encoding: str = "utf-8") -> str:
    images(folder, *(f"{i}.png" for i in range(count)))
    (folder / name).write_bytes(text.encode(encoding))
    return str(folder / name)


def read(named: str, split: str = "train", labels: str = "classes") -> tuple[list[Row], list[str]]:
    notes: list[str] = []
    return read_source(named, split, labels=labels, say=notes.append), notes


# --- labels -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "written"),
    [
        ("akiec", "akiec AKIEC ACK AK L57.0 D04 D04.9|Bowen's disease|actinic keratosis|Actinic keratoses"),
        ("bcc", "bcc BCC C44.91|basal cell carcinoma|basal_cell_carcinoma"),
        ("bkl", "bkl BKL SEK L82 L82.1|seborrheic keratosis|Seborrhoeic keratoses|solar lentigo"),
        ("df", "df DF|dermatofibroma|Histiocytoma"),
        ("mel", "mel MEL C43 C43.9 c43.59 C4359 D03.9|melanoma|Malignant melanoma|Melanoma, NOS|lentigo maligna"),
        ("nv", "nv NV NEV D22 D22.5|naevus|nevi|Melanocytic nevus|blue nevus"),
        ("vasc", "vasc VASC|vascular lesion|hemangioma|pyogenic granuloma"),
    ],
)
def test_names_and_codes_of_a_class_are_read(code: str, written: str) -> None:
    codes, *names = written.split("|")
    for label in (*codes.split(), *names):
        assert class_of(f" {label} ") == code, label


def test_what_fits_no_class_is_none_of_them() -> None:
    wide = ("D23", "D23.9", "L81.4")  # ICD has other conditions there, too
    for label in (
        "SCC",
        "UNK",
        "psoriasis",
        "benign",
        "malignant",
        "0",
        "melanomma",
        "spider naevus",
        "C84",
        "",
        *wide,
    ):
        assert class_of(label) is None, label
    assert suggested("melanomma") == ("melanoma (mel)",)
    assert suggested("SCC") == ()  # another condition


def test_unknown_labels_are_asked_about_before_anything_is_computed(tmp_path: Path) -> None:
    named = table(tmp_path, "image,label\n0.png,MEL\n1.png,SCC\n2.png,melanomma\n3.png,SCC\n")
    with pytest.raises(DataError, match=r"“SCC” \(2 row\(s\), line 3\), “melanomma” \(1 row\(s\), line 4; perhaps mel"):
        read(named)
    rows, notes = read(named, labels="known")
    assert [row.label for row in rows] == ["mel"]
    assert notes == [
        "t.csv: 3 row(s) are left out, their labels fit none of the seven classes: SCC (2), melanomma (1)."
    ]
    rows, notes = read(named, labels="text")
    assert [row.label for row in rows] == ["MEL", "SCC", "melanomma", "SCC"]
    assert notes == []


def test_what_a_label_was_read_as_is_said(tmp_path: Path) -> None:
    rows, notes = read(table(tmp_path, "image,label\n0.png,mel \n1.png,Naevus\n2.png,NV\n"))
    assert [row.label for row in rows] == ["mel", "nv", "nv"]
    assert notes == ["t.csv: labels are read as classes: Naevus as nv (1)."]


# --- the patient ------------------------------------------------------------------------


def test_what_is_told_of_the_patient_is_read_or_counted(tmp_path: Path) -> None:
    lines = ("0.png;mel;UNK;MALE;BACK;III", "1.png;nv;55,0;w;UNK;", "2.png;nv;50-60;other;face;2", "3.png;nv;;;nan;nan")
    rows, notes = read(table(tmp_path, "\n".join(["image;label;Age;Gender;Localization;Skin type", *lines])))
    assert [row.context for row in rows] == [
        PatientContext(None, "male", "back", 3),
        PatientContext(55, "female", None, None),
        PatientContext(None, None, "face", 2),
        PatientContext(),
    ]
    assert notes == [
        "t.csv: age is taken as not stated in 1 row(s): 50-60 (1).",
        "t.csv: gender is taken as not stated in 1 row(s): other (1).",
    ]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("age", "999", "line 3: The age “999”"),
        ("age", "-1", "line 3: The age “-1” is not a whole number of years from 0 to 120"),
        ("age", "inf", "line 3: The age “inf”"),
        ("sex", "0", "line 3: The sex “0” is not known. Give female or male"),
        ("fitzpatrick", "7", "line 3: The skin type “7”"),
        ("site", "x" * 70, "line 3: The site"),
    ],
)
def test_a_wrong_value_is_refused_with_its_row(tmp_path: Path, column: str, value: str, words: str) -> None:
    named = table(tmp_path, f"image,label,{column}\n0.png,mel,\n1.png,nv,{value}\n2.png,nv,{value}\n")
    with pytest.raises(DataError, match=words) as caught:
        read(named)
    assert "1 more row" in str(caught.value)
    with pytest.raises(DataError, match=words):
        table_of_csv(Path(named))


# --- splits -----------------------------------------------------------------------------


def test_split_words_are_read_in_any_case() -> None:
    for word in ("train", "Train", "TRAINING", "training set", " trn "):
        assert split_of(word) == "train", word
    for word in ("val", "Valid", "validation", "dev", "Validation-Set"):
        assert split_of(word) == "val", word
    for word in ("test", "Testing", "holdout", "hold-out", "Held out"):
        assert split_of(word) == "test", word
    for word in ("", "0", "1", "fold1", "all", "x"):
        assert split_of(word) is None, word


def test_a_table_that_is_judged_says_that_it_is_judged_whole(tmp_path: Path) -> None:
    named = table(tmp_path, "image,label,split\n0.png,mel,Train\n1.png,nv,test\n2.png,nv,test\n")
    notes: list[str] = []
    assert len(table_of_csv(Path(named), say=notes.append)) == 3
    assert notes == ["t.csv: rows of every split are judged: train 1, test 2."]


def test_no_row_vanishes_by_its_split(tmp_path: Path) -> None:
    named = table(tmp_path, "image,label,Split\n0.png,mel,Training\n1.png,nv,dev\n2.png,?,Test\n3.png,?,holdout\n")
    rows, notes = read(named)
    assert [Path(row.image).name for row in rows] == ["0.png"]
    assert notes == ["t.csv: 2 row(s) of the split test are not used."]
    assert [Path(row.image).name for row in read(named, "val")[0]] == ["1.png"]
    unknown = table(tmp_path, "image,label,split\n0.png,mel,train\n1.png,nv,1\n2.png,nv,\n", "u.csv")
    with pytest.raises(DataError, match=r"line 3: the split “1” is not known \(nor in 1 other row\(s\)\). Write train"):
        read(unknown)


# --- who it is about --------------------------------------------------------------------

PATIENTS = "image,label,patient_id\n{0}.png,mel,P1\n{1}.png,nv,{2}\n"


def splits_of(train: str, val: str) -> None:
    read_splits([train], [val], val_share=0, seed=0, data="", columns=())


def test_the_same_patient_in_two_files_of_a_folder_is_refused(tmp_path: Path) -> None:
    train = table(tmp_path, PATIENTS.format(0, 1, "P2"), "train.csv")
    with pytest.raises(DataError, match=r"share 1 patient\(s\) or lesion\(s\), such as p1"):
        splits_of(train, table(tmp_path, PATIENTS.format(2, 3, "P3").replace("P1", "p1 "), "val.tsv"))
    splits_of(train, table(tmp_path, PATIENTS.format(2, 3, "P3").replace("P1", "P4"), "val.csv"))


def test_folders_called_after_splits_are_one_source(tmp_path: Path) -> None:
    train, val = (table(tmp_path / name, PATIENTS.format(0, 1, name), "data.csv") for name in ("train", "Validation"))
    with pytest.raises(DataError, match="share 1 patient"):
        splits_of(train, val)


def test_two_uploads_are_one_source_but_for_the_folders_in_them(tmp_path: Path) -> None:
    sent = tmp_path / SENT
    train = table(sent / "0a1b", PATIENTS.format(0, 1, "P2"))
    with pytest.raises(DataError, match="share 1 patient"):
        splits_of(train, table(sent / "2c3d", PATIENTS.format(0, 1, "P3")))
    splits_of(train, table(sent / "4e5f" / "south", PATIENTS.format(0, 1, "P3")))


def test_patients_of_two_clinics_are_two(tmp_path: Path) -> None:
    text = "image,label,patient_id\n0.png,mel,1\n1.png,nv,2\n"
    splits_of(table(tmp_path / "a", text, "data.csv"), table(tmp_path / "b", text, "data.csv"))
    one = "image,label,patient_id,clinic\n{0}.png,mel,1,{1}\n"
    train = table(tmp_path, one.format(0, "north"), "a.csv")
    splits_of(train, table(tmp_path, one.format(1, "south"), "b.csv"))
    with pytest.raises(DataError, match="share 1 patient"):
        splits_of(train, table(tmp_path / "c", one.format(1, "North"), "b.csv"))


def test_the_same_image_of_two_clinics_is_still_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), "red").save(tmp_path / name / "0.png")
        (tmp_path / name / "t.csv").write_text("image,label,patient_id\n0.png,mel,1\n")
    with pytest.raises(DataError, match="share 1 image"):
        splits_of(*(str(tmp_path / name / "t.csv") for name in ("a", "b")))


def test_ids_are_one_however_a_spreadsheet_changed_them() -> None:
    assert len({identity({"patient_id": value}, "x") for value in (1, "1", "1.0", 1.0, "001", " 1 ")}) == 1
    assert identity({"patient_id": "", "lesion_id": "L1"}, "x") == identity({"lesion_id": "l1"}, "x")
    for value in (None, "", "nan", "UNK", float("nan")):
        assert identity({"patient_id": value}, "x") == ""
    assert source_of("owner/name") == "owner/name"


def test_rows_without_an_id_are_known_by_their_image(tmp_path: Path) -> None:
    rows, _ = read(table(tmp_path, "image,label,patient_id\n0.png,mel,\n1.png,nv,unknown\n"))
    assert len({row.group for row in rows}) == 2
    refuse_leakage(rows[:1], rows[1:])


# --- the field's own tables -------------------------------------------------------------


@pytest.mark.parametrize(("images_in", "suffix"), [("", ".jpg"), ("ISIC_2019_Training_Input", ".jpg"), ("a/b", ".JPG")])
def test_the_tables_of_isic_are_read(tmp_path: Path, images_in: str, suffix: str) -> None:
    images(tmp_path / images_in, *(f"ISIC_{i}{suffix}" for i in range(4)))
    images(tmp_path / "masks", *(f"ISIC_{i}.png" for i in range(4)))  # other pictures of the same names
    head = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"
    ones = ("1.0,0,0,0,0,0,0,0,0", "0,0,0,1.0,0,0,0,0,0", "0,0,0,0,0,0,0,1.0,0", "0,0,0,0,0,0,0,0,1.0")
    path = tmp_path / "ISIC_2019_Training_GroundTruth.csv"
    path.write_text(head + "".join(f"ISIC_{i},{line}\n" for i, line in enumerate(ones)))
    with pytest.raises(DataError, match=r"“scc” \(1 row\(s\), line 4\), “unk” \(1 row\(s\), line 5\)"):
        read(str(path))
    rows, notes = read(str(path), labels="known")
    assert [(Path(row.image).name, row.label) for row in rows] == [
        (f"ISIC_0{suffix}", "mel"),
        (f"ISIC_1{suffix}", "akiec"),
    ]
    assert "2 row(s) are left out, their labels fit none of the seven classes: scc (1), unk (1)" in notes[0]
    assert "split" not in str(notes)
    judged = table_of_csv(path, labels="known")
    assert list(judged["image_id"]) == ["ISIC_0", "ISIC_1"]


def test_columns_of_classes_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    for ones, words in (("0.7,0.3", "mel is “0.7”"), ("1,1", "nv is “1”"), ("0,0", "no label in row 2")):
        with pytest.raises(DataError, match=words):
            read(table(tmp_path, f"image,MEL,NV\n0.png,{ones}\n"))


def test_the_tables_of_ham10000_and_pad_ufes_are_read(tmp_path: Path) -> None:
    images(tmp_path / "ham" / "HAM10000_images_part_1", "ISIC_1.jpg")
    images(tmp_path / "ham" / "HAM10000_images_part_2", "ISIC_2.jpg")
    ham = tmp_path / "ham" / "HAM10000_metadata.csv"
    ham.write_text(
        "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
        "H_1,ISIC_1,bkl,histo,80.0,male,scalp\nH_2,ISIC_2,mel,histo,,unknown,unknown\n"
    )
    rows, _ = read(str(ham))
    assert [(row.label, row.context) for row in rows] == [
        ("bkl", PatientContext(80, "male", "scalp")),
        ("mel", PatientContext()),
    ]
    images(tmp_path / "pad" / "imgs_part_1", "PAT_1_2_3.png")
    pad = tmp_path / "pad" / "metadata.csv"
    pad.write_text(
        "patient_id,lesion_id,age,gender,fitspatrick,region,diagnostic,img_id\n"
        "PAT_1,2,55,FEMALE,3.0,NECK,ACK,PAT_1_2_3.png\n"
    )
    (row,), _ = read(str(pad))
    assert (row.label, row.context) == ("akiec", PatientContext(55, "female", "neck", 3))
    assert row.group.startswith("pat_1 (of ")


def test_an_image_that_may_be_two_is_asked_about_and_a_named_folder_counts(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        images(tmp_path / folder, "x.jpg")
    with pytest.raises(DataError, match=r"line 2: x may be .*a/x.jpg or .*b/x.jpg"):
        read(table(tmp_path, "image,label\nx,mel\n"))
    (row,), _ = read(table(tmp_path, "image,label\nb/x,mel\n"))
    assert Path(row.image) == tmp_path / "b" / "x.jpg"
    with pytest.raises(DataError, match=r"1 image\(s\) do not exist, such as .*c/x.jpg"):
        read(table(tmp_path, "image,label\nc/x.jpg,mel\n"))


def test_a_table_that_a_visitor_sent_reads_no_other_files(tmp_path: Path) -> None:
    images(tmp_path, "out.png")
    sent = tmp_path / SENT / "abc"
    for name in ("../../out.png", str(tmp_path / "out.png"), "link.png"):
        named = table(sent, f"image,label\n0.png,mel\n{name},nv\n")
        (sent / "link.png").unlink(missing_ok=True)
        (sent / "link.png").symlink_to(tmp_path / "out.png")
        with pytest.raises(DataError, match=r"line 3: .* does not lie below the folder"):
            read(named)
    own = table(tmp_path / "mine", f"image,label\n../out.png,mel\n{tmp_path / 'out.png'},nv\n")
    assert len(read(own)[0]) == 2


def test_what_the_named_data_sets_leave_out_is_said(real_data: Path) -> None:
    notes: list[str] = []
    for name in ("ham10000", "pad_ufes_20"):
        read_source(name, "train", str(real_data), say=notes.append)
    (note,) = notes
    assert note.startswith("pad_ufes_20: ")
    assert note.endswith("row(s) of train are left out: squamous cell carcinoma is none of the seven classes.")


# --- as spreadsheets write them ---------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("name", ["t.csv", "T.CSV", "t.tsv", "t.txt"])
def test_tables_train_however_a_spreadsheet_saved_them(tmp_path: Path, name: str, encoding: str) -> None:
    text = "sep=;\r\nImage;Label;Geschlecht;sex;\r\n0.png;Nävus? nein;x;männlich;\r\n1.png;mel;x;w;\r\n"
    rows, _ = read(table(tmp_path, text, name, encoding=encoding), labels="text")
    assert [(row.label, row.context.sex) for row in rows] == [("Nävus? nein", "male"), ("mel", "female")]


def test_a_workbook_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04")
    for call in (lambda: read(str(tmp_path / "t.xlsx")), lambda: read_labelled(tmp_path / "t.xlsx")):
        with pytest.raises(DataError, match="Save it as CSV, in UTF-8"):
            call()


# --- tables as strangers have them ------------------------------------------------------

TWO = "{0}.png,mel,{1}\n"


@pytest.mark.parametrize(
    "column",
    [
        "PatientID",
        "patientId",
        "PATIENT_KEY",
        "PatNr",
        "subject_id",
        "Participant-ID",
        "Patienten-ID",
        "id_patient",
        "MRN",
        "pid",
        "case_id",
        "LesionID",
    ],
)
def test_whoever_is_named_is_known_by_any_usual_name_of_the_column(tmp_path: Path, column: str) -> None:
    head = f"image,label,{column}\n"
    train = table(tmp_path, head + TWO.format(0, "P1"), "train.csv")
    with pytest.raises(DataError, match="share 1 patient"):
        splits_of(train, table(tmp_path, head + TWO.format(1, "P1"), "val.csv"))


def test_a_patient_of_a_table_is_that_of_lines_and_not_one_of_their_attributes(tmp_path: Path) -> None:
    assert identity({"PatientID": "P1"}, "here") == identity({"patient id": "p1 "}, "here") == "p1 (of here)"
    assert identity({"Jos": 1, "patient_id": "Jos\u00e9"}, "") == identity({"patient": "Jose\u0301"}, "")
    assert identity({"patient_age": 50, "patient_sex": "f", "subject": "dermatology"}, "here") == ""


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("set", "train val test"),
        ("data_split", "Training Validierung Test"),
        ("phase", "train valid test"),
        ("Usage", "Training val PublicTest"),
        ("dataset", "entraînement validation test"),
    ],
)
def test_a_split_is_seen_whatever_its_column_is_called(tmp_path: Path, column: str, words: str) -> None:
    rows = "".join(f"{i}.png,mel,{word}\n" for i, word in enumerate(words.split()))
    named = table(tmp_path, f"image,label,{column}\n{rows}")
    for split, image in (("train", "0.png"), ("val", "1.png")):
        rows_of_it, notes = read(named, split)
        assert [Path(row.image).name for row in rows_of_it] == [image]
        assert notes == ["t.csv: 1 row(s) of the split test are not used."]


def test_yes_and_no_may_say_the_split(tmp_path: Path) -> None:
    named = table(tmp_path, "image,label,is_valid\n0.png,mel,False\n1.png,nv,True\n")
    assert [[Path(row.image).name for row in read(named, split)[0]] for split in ("train", "val")] == [
        ["0.png"],
        ["1.png"],
    ]
    rest = table(tmp_path, "image,label,is_train\n0.png,mel,1\n1.png,nv,0\n", "u.csv")
    with pytest.raises(DataError, match="line 3: the split “0” is not known"):
        read(rest)


def test_another_set_is_no_split(tmp_path: Path) -> None:
    rows, notes = read(table(tmp_path, "image,label,set,fold\n0.png,mel,HAM,0\n1.png,nv,PAD,1\n"))
    assert len(rows) == 2
    assert notes == ["t.csv: columns that are not read: set, fold."]


@pytest.mark.parametrize(
    "heading",
    [
        "Bild;Diagnose;Alter;Geschlecht;Körperstelle",
        "Nom du fichier;Étiquette;Âge;Sexe;Localisation",
        "imagen;diagnóstico;edad;sexo;localización",
        "imagePath;ClassName;Age;Sex;bodySite",
    ],
)
def test_columns_are_known_in_other_languages_and_writings(tmp_path: Path, heading: str) -> None:
    named = table(tmp_path, f"{heading}\r\n0.png;Melanoma;45;F;bras\r\n", encoding="cp1252")
    [row] = read(named)[0]
    assert (row.label, row.context) == ("mel", PatientContext(45, "female", "bras", None))


def test_columns_that_nobody_reads_are_told(tmp_path: Path) -> None:
    _, notes = read(table(tmp_path, "image,label,years,patient_id\n0.png,mel,45,P1\n"))
    assert notes == ["t.csv: columns that are not read: years."]


def test_the_ground_truth_of_isic_2016_and_2017_is_read(tmp_path: Path) -> None:
    images(tmp_path, *(f"ISIC_000000{i}.png" for i in range(3)))
    later = tmp_path / "ISIC-2017_Training_Part3_GroundTruth.csv"
    later.write_text(
        "image_id,melanoma,seborrheic_keratosis\nISIC_0000000,0.0,0.0\nISIC_0000001,1.0,0.0\nISIC_0000002,0.0,1.0\n"
    )
    assert [row.label for row in read(str(later))[0]] == ["nv", "mel", "bkl"]
    first = tmp_path / "ISBI2016_ISIC_Part3_Training_GroundTruth.csv"
    first.write_text("ISIC_0000000,benign\nISIC_0000001,malignant\n")
    with pytest.raises(DataError, match=r"unknown labels.*“benign” \(1 row\(s\), line 1"):
        read(str(first))
    rows, notes = read(str(first), labels="known")
    assert [(Path(row.image).stem, row.label) for row in rows] == [("ISIC_0000001", "mel")]
    assert "1 row(s) are left out, their labels fit none of the seven classes: benign (1)" in notes[0]
    tested = tmp_path / "test.csv"
    tested.write_text("ISIC_0000000,0.0\nISIC_0000001,1.0\n")
    assert [row.label for row in read(str(tested), labels="known")[0]] == ["mel"]


def test_a_list_of_images_needs_no_heading(tmp_path: Path) -> None:
    assert [row.label for row in read(table(tmp_path, "0.png,mel\n1.png,nv\n"))[0]] == ["mel", "nv"]


@pytest.mark.parametrize(
    "text",
    [
        "image,label_mel,label_nv\n0.png,1,0\n1.png,0,1\n",
        "Image Name,Common Nevus,Atypical Nevus,Melanoma\n0.png,,,X\n1.png,,X,\n",
        "image,dx_melanoma,dx_nevus\n0.png,True,False\n1.png,False,True\n",
    ],
)
def test_columns_that_each_are_a_class_are_read_by_their_names(tmp_path: Path, text: str) -> None:
    assert [row.label for row in read(table(tmp_path, text))[0]] == ["mel", "nv"]


@pytest.mark.parametrize("label", ["nv?", "melanoma?", "melanoma (?)", "melanoma!"])
def test_a_doubted_label_is_asked_about(tmp_path: Path, label: str) -> None:
    with pytest.raises(DataError, match="unknown labels"):
        read(table(tmp_path, f"image,label\n0.png,{label}\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Export of the clinic,,\nimage,label,age\n0.png,mel,45\n",
            "line must name the columns: remove what stands above",
        ),
        ("image,label\nhttps://a.org/0.png,mel\n", "line 2: https://a.org/0.png is on the web, and nothing is fetched"),
        ("image,caption\n0.png,A nevus.\n", "rename those that hold the diagnoses to label"),
        ("image,label,site\n0.png,mel,4\n", "The site “4” is a number. Name the place in words"),
        (
            "image,label\n0.png,mel\n1.png,\n2.png,\n",
            r"row 3 \(nor in 1 other row\(s\)\). Write one, or set labels to known",
        ),
    ],
)
def test_what_is_refused_says_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(table(tmp_path, text))


def test_a_table_whose_name_has_no_suffix_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(tmp_path / "data", "ISIC_0000001.jpg")
    (tmp_path / "data" / "HAM10000_metadata").write_text("lesion_id,image_id,dx\nHAM_1,ISIC_0000001,bkl\n")
    monkeypatch.chdir(tmp_path)
    assert [row.label for row in read("data/HAM10000_metadata")[0]] == ["bkl"]


def test_cells_between_spaces_are_told_what_separates_cells(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Between cells there must be a comma, a semicolon, a tab or a bar"):
        read(table(tmp_path, '"image" "label"\n"1" "0.png" "mel"\n'))
