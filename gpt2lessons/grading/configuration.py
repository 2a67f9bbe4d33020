"""nbgrader's configuration for the problem sets; `nbgrader_config.py` of a course's folder calls `configure`."""

import os
import sys
from pathlib import Path

BEFORE = ["IncludeHeaderFooter", "LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata", "ComputeChecksums"]
AFTER = ["SaveCells", "ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums", "CheckCellMetadata"]


def configure(c, folder):
    """Set up `c`, what nbgrader's `get_config()` returns, for the course in `folder`."""
    # nbgrader starts `alembic`, which lies beside Python, also when the environment is not activated
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    # everything offline, on the bundled model, one thread per submission
    os.environ.update(HF_HUB_OFFLINE="1", GPT2LESSONS_MODEL="gpt2-mini", OMP_NUM_THREADS="1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    nbgrader, own = "nbgrader.preprocessors.{}".format, "gpt2lessons.grading.isolation.{}".format

    c.CourseDirectory.course_id = "gpt2lessons"
    c.CourseDirectory.root = str(folder)
    c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc*", "__pycache__", ".pytest_cache", "handed_in.sha256"]
    c.ClearSolutions.code_stub = {"python": "# your code here\nraise NotImplementedError"}
    c.ClearSolutions.text_stub = "(your answer here)"
    c.GenerateAssignment.preprocessors = [own("ClassParameters"), *map(nbgrader, BEFORE + AFTER)]
    c.Autograde.sanitize_preprocessors = [
        *map(nbgrader, ["ClearOutput", "DeduplicateIds", "OverwriteKernelspec"]),
        own("KeepEdits"),
        nbgrader("OverwriteCells"),
        own("DropStrays"),
        nbgrader("CheckCellMetadata"),
    ]
    c.Autograde.autograde_preprocessors = [
        own("IsolatedExecute"),
        nbgrader("IgnorePattern"),
        "nbconvert.preprocessors.ClearMetadataPreprocessor",
        *map(nbgrader, ["LimitOutput", "SaveAutoGrades", "AssignLatePenalties", "CheckCellMetadata"]),
    ]
    # far bounds: what a student's code may take is IsolatedExecute's to count
    c.Execute.timeout = c.ExecutePreprocessor.timeout = 7200
    c.ExecutePreprocessor.kernel_name = "python3"
    # feedback shows the visible tests and the message of each failure, never the hidden tests
    c.GenerateFeedback.preprocessors = [
        own("HideTests"),
        own("HideMarkScheme"),
        nbgrader("GetGrades"),
        "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
    ]
    # the last filter that a student's text passes on its way to a page
    c.HTMLExporter.filters = {"strip_files_prefix": own("safe_html")}
    c.ZipCollectApp.collector_plugin = "gpt2lessons.grading.collect.DownloadedNames"
