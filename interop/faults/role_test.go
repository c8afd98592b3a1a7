package faults_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// serveRole serves transfers: serve ws|wss KEEPALIVE. It prints its address, and
// each outcome, and ends with its standard input.
func serveRole(args []string) error {
	keepAlive, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	ln := newListener(args[0], keepAlive)
	address := "127.0.0.1:0"
	if len(args) > 2 {
		address = args[2]
	}
	if err := ln.Listen("tcp", address); err != nil {
		return err
	}
	s := site{report: printOutcome}
	s.serve(ln)
	fmt.Println("listening", ln.Addr())
	waitForInput()
	ctx, cancel := contextFor(timeout)
	defer cancel()
	_, err = s.finish(ctx)
	return err
}

// dialRole runs transfers: dial URL KEEPALIVE COUNT SIZE LIMIT. It prints
// when all are connected and how each has ended.
func dialRole(args []string) error {
	keepAlive, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	count, _ := strconv.Atoi(args[2])
	var x transfer
	x.size, _ = strconv.ParseInt(args[3], 10, 64)
	x.limit, _ = time.ParseDuration(args[4])
	var connected atomic.Int64
	x.connected = func() {
		if connected.Add(1) == int64(count) {
			fmt.Println("connected all")
		}
	}
	outcomes, failed := load(newDialer(keepAlive), args[0], count, count, x)
	for _, o := range outcomes {
		printOutcome(o)
	}
	return failed
}

func printOutcome(o outcome) {
	b, _ := json.Marshal(o)
	fmt.Println("outcome " + string(b))
}

// waitForInput waits until the test that has started this process ends it.
func waitForInput() { os.Stdin.Read(make([]byte, 1)) }
