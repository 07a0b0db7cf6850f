//! Runs build actions in Docker, and makes builder images and environments
