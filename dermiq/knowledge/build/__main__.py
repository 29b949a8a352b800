from dermiq.knowledge.build.build import main

raise SystemExit(main())
