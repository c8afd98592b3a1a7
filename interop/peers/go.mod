module github.com/bodokaiser/walve/interop/peers

go 1.26.0

replace github.com/bodokaiser/walve => ../../
