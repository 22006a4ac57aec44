module github.com/pcnfunding/pcnfunding/pkg

go 1.26.0

require github.com/pcnfunding/pcnfunding/proto v0.0.0

replace github.com/pcnfunding/pcnfunding/proto => ../proto

replace github.com/google/pprof => github.com/google/pprof v0.0.0-20250317173921-a4b03ec1a45e
