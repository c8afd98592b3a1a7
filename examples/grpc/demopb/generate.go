// Package demopb is the service of the gRPC example.
package demopb

// Needs protoc, protoc-gen-go v1.36.12 and protoc-gen-go-grpc v1.6.2 in PATH.
//
//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative demo.proto
