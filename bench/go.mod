module github.com/bodokaiser/walve/bench

go 1.26.0

require (
	github.com/bodokaiser/walve v0.0.0
	github.com/coder/websocket v1.8.15
	github.com/gobwas/ws v1.5.0
	github.com/gorilla/websocket v1.5.3
	github.com/lesismal/nbio v1.6.8
	github.com/lxzan/gws v1.8.9
	golang.org/x/net v0.62.0
	gonum.org/v1/plot v0.17.0
)

replace github.com/bodokaiser/walve => ../
