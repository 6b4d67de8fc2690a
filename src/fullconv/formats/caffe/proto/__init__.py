"""The schema of Caffe's files (caffe.proto) and its compiled form."""
