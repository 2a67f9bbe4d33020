"""nbgrader's configuration for the coursework of gpt2lessons; run `nbgrader` in this folder."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
# nbgrader starts `alembic`, which lies beside Python, also when the environment is not activated
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
# everything offline, on the bundled model, one thread per submission
os.environ.update(HF_HUB_OFFLINE="1", GPT2LESSONS_MODEL="gpt2-mini", OMP_NUM_THREADS="1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "gpt2lessons"
c.CourseDirectory.root = str(HERE)
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc*", "__pycache__", ".pytest_cache"]
c.ClearSolutions.code_stub = {"python": "# your code here\nraise NotImplementedError"}
c.ClearSolutions.text_stub = "(your answer here)"

step = "nbgrader.preprocessors.{}".format
before = ["IncludeHeaderFooter", "LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata", "ComputeChecksums"]
after = ["SaveCells", "ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums", "CheckCellMetadata"]
c.GenerateAssignment.preprocessors = ["class_parameters.ClassParameters", *map(step, before + after)]

cleaning = ["ClearOutput", "DeduplicateIds", "OverwriteKernelspec", "OverwriteCells", "CheckCellMetadata"]
c.Autograde.sanitize_preprocessors = [*map(step, cleaning[:-1]), "isolation.DropStrays", step(cleaning[-1])]
# a student's cells run in a process of their own: see isolation.py
c.Autograde.autograde_preprocessors = [
    "isolation.IsolatedExecute",
    "nbgrader.preprocessors.IgnorePattern",
    "nbconvert.preprocessors.ClearMetadataPreprocessor",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Execute.timeout = 180
c.ExecutePreprocessor.timeout = 180
c.ExecutePreprocessor.kernel_name = "python3"
# feedback shows the visible tests and the message of each failure, never the hidden tests
c.GenerateFeedback.preprocessors = [
    "nbgrader.preprocessors.ClearHiddenTests",
    "nbgrader.preprocessors.ClearMarkScheme",
    "nbgrader.preprocessors.GetGrades",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]
# the last filter that a student's text passes on its way to a page
c.HTMLExporter.filters = {"strip_files_prefix": "isolation.safe_html"}
c.ZipCollectApp.collector_plugin = "collect.DownloadedNames"
