package faults_test

func init() {
	roles["echo"] = echoRole
	roles["hold"] = holdRole
	roles["journal"] = journalRole
	roles["exhaust"] = exhaustRole
}
