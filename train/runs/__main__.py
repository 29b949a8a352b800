from train.runs.registry import main

raise SystemExit(main())
